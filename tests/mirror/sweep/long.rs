//! What happens while a clean-up goes on that takes long.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_grace_begins_when_the_marks_can_be_read() {
    let bench = Bench::new();
    bench.sweep().await;
    let digest = bench.there("old", 100);
    bench.pass(7 * DAY - HOUR).await;
    bench.later(HOUR).await;
    let clock = bench.clock.clone();
    let dawdle = |step: Step| {
        if matches!(step, Step::Walked { parts: 100, .. }) {
            clock.advance(20 * MINUTE);
        }
    };
    let swept = bench.mirror.sweep(&dawdle).await.unwrap();
    assert_eq!(swept.marked, 100);
    assert_eq!(swept.due.unwrap().duration_since(bench.now()).unwrap(), 10 * MINUTE);
    bench.later(9 * MINUTE).await;
    assert_eq!(bench.sweep().await.removed.objects, 0, "nobody had the time to object");
    bench.later(MINUTE).await;
    bench.sweep().await;
    assert!(!bench.far.holds(&digest));
}
