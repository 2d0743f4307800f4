//! The settings in the process pass the suite.

use brain_core::settings::InMemorySettings;

brain_testkit::settings_suite!(async |clock| InMemorySettings::new(clock));
