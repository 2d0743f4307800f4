//! The gateway suite on the scripted model, and on a router over two of them.

mod scripted {
    use brain_testkit::ScriptedLlm;

    brain_testkit::llm_gateway_suite!(async || ScriptedLlm::echo());
}

mod router {
    use std::sync::Arc;

    use brain_core::llm::{Capabilities, ModelInfo, Router};
    use brain_testkit::ScriptedLlm;

    fn router() -> Router {
        let capabilities = Capabilities { chat: true, ..Capabilities::default() };
        let other = ModelInfo { id: "other".to_owned(), capabilities };
        let second = ScriptedLlm::echo().with_models([other]);
        Router::new("second", Arc::new(second)).with("first", Arc::new(ScriptedLlm::echo()))
    }

    brain_testkit::llm_gateway_suite!(async || router());
}
