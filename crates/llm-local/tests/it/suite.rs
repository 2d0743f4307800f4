//! The contract of every gateway, kept by the real models.

use std::sync::Arc;

use brain_testkit::gateway::Subject;
use llm_local::LocalGateway;

use crate::GATEWAY;

brain_testkit::llm_gateway_suite!(async || {
    let gateway: Arc<LocalGateway> = Arc::clone(&GATEWAY);
    Subject::new(gateway)
});
