//! The Hub client against the fake Hub, and the fake Hub against what is known of the real one.

mod fake;
