//! Redis servers that end with the test.
