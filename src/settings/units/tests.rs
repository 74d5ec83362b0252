use std::time::Duration;

use super::{NotAUnit, Period, Secret, Size};

fn size(text: &str) -> Result<u64, NotAUnit> {
    text.parse().map(|Size(bytes)| bytes)
}

fn seconds(text: &str) -> Result<f64, NotAUnit> {
    text.parse().map(|Period(period)| period.as_secs_f64())
}

#[test]
fn a_size_is_a_number_with_an_optional_unit() {
    assert_eq!(size("0"), Ok(0));
    assert_eq!(size("1048576"), Ok(1 << 20));
    assert_eq!(size("10GiB"), Ok(10 << 30));
    assert_eq!(size("10 GiB"), Ok(10 << 30));
    assert_eq!(size("500MB"), Ok(500_000_000));
    assert_eq!(size("7kB"), Ok(7000));
    assert_eq!(size("7KB"), Ok(7000));
    assert_eq!(size("9B"), Ok(9));
    for wrong in ["", "GiB", "1.5GiB", "-1", "10gib", "10 G", "10GiB ", "1  MB", "1e3"] {
        assert_eq!(size(wrong), Err(NotAUnit::Shape), "`{wrong}`");
    }
    assert_eq!(size("99999999999TiB"), Err(NotAUnit::TooLarge));
    assert_eq!(size("99999999999999999999"), Err(NotAUnit::TooLarge));
}

#[test]
fn a_period_is_a_sum_of_numbers_with_units_or_one_number_of_seconds() {
    assert_eq!(seconds("0"), Ok(0.0));
    assert_eq!(seconds("90"), Ok(90.0));
    assert_eq!(seconds("30s"), Ok(30.0));
    assert_eq!(seconds("1h30m"), Ok(5400.0));
    assert_eq!(seconds("7d"), Ok(604_800.0));
    assert_eq!(seconds("1w"), Ok(604_800.0));
    assert_eq!(seconds("250ms"), Ok(0.25));
    for wrong in ["", "s", "5 m", "1.5h", "-5m", "5min", "1h30", "30M", "5m "] {
        assert_eq!(seconds(wrong), Err(NotAUnit::Shape), "`{wrong}`");
    }
    assert_eq!(seconds("101y"), Err(NotAUnit::Shape));
    assert_eq!(seconds("36501d"), Err(NotAUnit::TooLarge));
    assert_eq!(seconds("18446744073709551615w"), Err(NotAUnit::TooLarge));
}

#[test]
fn units_print_as_they_are_written() {
    for text in ["10GiB", "20GiB", "500MB", "7kB", "1TB", "3", "0", "1000KiB"] {
        assert_eq!(text.parse::<Size>().map(|size| size.to_string()), Ok(text.into()));
    }
    for text in ["30s", "5m", "1h30m", "30d", "1d12h", "0s", "250ms"] {
        assert_eq!(text.parse::<Period>().map(|period| period.to_string()), Ok(text.into()));
    }
    assert_eq!(Period(Duration::from_secs(90)).to_string(), "1m30s");
}

#[test]
fn a_secret_masks_itself_in_every_form_it_can_be_printed_in() {
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret:?}"), "\"********\"");
    assert_eq!(serde_json::to_string(&secret).expect("text"), "\"********\"");
    assert_eq!(serde_json::to_string(&Secret::default()).expect("text"), "\"\"");
    assert_eq!(secret.expose(), "hunter2");
}
