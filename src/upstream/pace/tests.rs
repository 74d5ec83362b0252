use futures_util::{FutureExt, future::join_all};

use super::*;
use crate::clock;

#[derive(Debug)]
struct Hand(Mutex<SystemTime>);

impl Hand {
    fn advance(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }
}

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

fn pace() -> (Arc<Hand>, Pace) {
    let hand = Arc::new(Hand(Mutex::new(clock::from_unix(1_700_000_000))));
    let second = Duration::from_secs(1);
    (hand.clone(), Pace::new(hand, Metrics::new(), second, 2 * second))
}

fn left(remaining: Option<u64>) -> Limits {
    Limits { limit: Some(100), remaining }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_pull_limit_stops_pulls_of_one_credential_until_a_head_shows_some() {
    let (hand, pace) = pace();
    let before = Instant::now();
    tokio::time::advance(SECOND).await;
    pace.no_pulls(Who::Anonymous, None);
    assert!(matches!(pace.pulls(Who::Anonymous), Err(UpstreamError::CoolingOff { .. })));
    assert_eq!(pace.pulls(Who::Credential), Ok(Pulls::Free), "another credential's pulls");
    assert_eq!(pace.check(), Ok(()), "other requests go on");
    assert_eq!(pace.cooling(Who::Anonymous).map(|(scope, _)| scope), Some(Scope::Pulls));
    tokio::time::advance(SECOND).await;
    pace.told(Who::Anonymous, left(Some(3)), before);
    assert!(pace.pulls(Who::Anonymous).is_err(), "lifted by an answer from before the limit");
    pace.told(Who::Anonymous, left(Some(0)), Instant::now());
    assert!(pace.pulls(Who::Anonymous).is_err(), "lifted by an answer that shows none");
    hand.advance(61);
    assert_eq!(pace.pulls(Who::Anonymous), Ok(Pulls::Due));
    pace.told(Who::Anonymous, left(Some(1)), Instant::now());
    assert_eq!(pace.pulls(Who::Anonymous), Ok(Pulls::Free));
}

#[tokio::test(start_paused = true)]
async fn the_abuse_limit_doubles_until_it_is_answered_well() {
    let (hand, pace) = pace();
    let wait = |pace: &Pace, hand: &Hand| {
        let UpstreamError::CoolingOff { until, scope: Scope::Everything } = pace.abused(None)
        else {
            panic!("not a cool-off of everything");
        };
        assert!(pace.check().is_err());
        let wait = until.duration_since(hand.now()).unwrap().as_secs();
        hand.advance(wait + 1);
        assert_eq!(pace.check(), Ok(()));
        wait
    };
    for expected in [60, 120, 240, 480, 600, 600] {
        let wait = wait(&pace, &hand);
        assert!((expected..=expected * 6 / 5).contains(&wait), "{wait} s for {expected} s");
    }
    pace.answered(Kind::Token);
    assert!(wait(&pace, &hand) >= 600, "a token is no answer of the registry");
    pace.answered(Kind::Head);
    assert!(wait(&pace, &hand) <= 72, "a good answer did not reset it");
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_together_are_one_offence() {
    let (hand, pace) = pace();
    for _ in 0..10 {
        pace.abused(None);
    }
    hand.advance(73);
    assert_eq!(pace.check(), Ok(()));
    pace.abused(Some(Duration::from_secs(5)));
    pace.abused(Some(Duration::from_secs(90)));
    hand.advance(60);
    assert!(pace.check().is_err(), "the longest `Retry-After` counts");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_ends_a_cool_off() {
    let (hand, pace) = pace();
    pace.abused(Some(Duration::from_secs(60)));
    *hand.0.lock().unwrap() -= Duration::from_secs(86_400);
    assert_eq!(pace.check(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn one_goes_first_and_the_others_hear_what_it_was_told() {
    let (_, pace) = pace();
    let first = pace.turn().await.unwrap();
    let mut others = Box::pin(join_all((0..99).map(|_| pace.turn())));
    assert!(others.as_mut().now_or_never().is_none(), "the others did not wait");
    pace.abused(None);
    drop(first);
    assert!(others.await.iter().all(Result::is_err), "the others went on into the limit");
}

#[tokio::test(start_paused = true)]
async fn the_others_go_once_the_first_is_answered_gives_up_or_takes_too_long() {
    let (_, pace) = pace();
    let first = pace.turn().await.unwrap();
    let mut other = Box::pin(pace.turn());
    assert!(other.as_mut().now_or_never().is_none());
    drop(first);
    assert!(other.now_or_never().unwrap().is_ok(), "the first gave up");

    let first = pace.turn().await.unwrap();
    let began = Instant::now();
    assert!(pace.turn().await.is_ok());
    assert_eq!(began.elapsed(), 2 * SECOND, "the first takes too long");
    assert!(pace.turn().now_or_never().unwrap().is_ok(), "waited for one that takes too long");
    drop(first);

    let first = pace.turn().await.unwrap();
    pace.answered(Kind::Head);
    assert!(pace.turn().now_or_never().is_none(), "the first is still about it");
    drop(first);
    assert!(pace.turn().now_or_never().unwrap().is_ok());
    assert!(pace.turn().now_or_never().unwrap().is_ok(), "no pause, no waiting");
    tokio::time::advance(2 * SECOND).await;
    let _first = pace.turn().now_or_never().unwrap().unwrap();
    assert!(pace.turn().now_or_never().is_none(), "after a pause one goes first again");
}
