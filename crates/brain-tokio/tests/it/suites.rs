//! Each wrapper keeps to the contract of its port, and so do all of them together.

use std::sync::Arc;

use brain_core::llm::LlmGateway;
use brain_testkit::ScriptedLlm;

fn echo() -> Arc<dyn LlmGateway> {
    Arc::new(ScriptedLlm::echo())
}

mod timeouts {
    use brain_tokio::llm::{TimeoutSettings, Timeouts};

    brain_testkit::llm_gateway_suite!(async || Timeouts::new(
        super::echo(),
        "echo",
        TimeoutSettings::default()
    ));
}

mod breaker {
    use brain_tokio::llm::{Breaker, BreakerSettings};

    brain_testkit::llm_gateway_suite!(async || Breaker::new(
        super::echo(),
        "echo",
        BreakerSettings::default()
    ));
}

mod retry {
    use brain_tokio::llm::{Retry, RetrySettings};

    brain_testkit::llm_gateway_suite!(async || Retry::new(
        super::echo(),
        "echo",
        RetrySettings::default()
    ));
}

mod limit {
    use brain_tokio::llm::{Limit, LimitSettings};

    brain_testkit::llm_gateway_suite!(async || Limit::new(
        super::echo(),
        "echo",
        LimitSettings { at_once: 1, ..LimitSettings::default() }
    ));
}

mod metrics {
    use std::sync::Arc;

    use brain_tokio::llm::{Counters, Metrics};

    brain_testkit::llm_gateway_suite!(async || Metrics::new(
        super::echo(),
        "echo",
        Arc::new(Counters::default())
    ));
}

mod stack {
    use std::sync::Arc;

    use brain_testkit::gateway::Subject;
    use brain_tokio::llm::{Counters, StackSettings, stack};

    brain_testkit::llm_gateway_suite!(async || {
        let settings = StackSettings::remote("echo").observed_by(Arc::new(Counters::default()));
        Subject::new(stack(super::echo(), &settings))
    });
}
