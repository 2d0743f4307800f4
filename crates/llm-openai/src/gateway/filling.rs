//! Filling gaps, in whichever way the server does it.

use brain_core::llm::{
    ChatStream, CompletionRequest, LlmError, LlmErrorKind, LlmGateway, ready_stream,
};
use llm_http::CallError;

use super::OpenAiGateway;
use crate::{
    decode::Shape,
    dialect::{Field, complaint},
    fill,
    make::{Fills, Place},
    wire::SegmentsResponse,
};

impl OpenAiGateway {
    pub(super) async fn fill(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        let model = self.chat_model(&request.model)?;
        match self.way_to_fill(model).await? {
            Fills::No => Err(fill::unsupported(self.endpoint().host(), model)),
            Fills::Suffix(place) => self.fill_by_suffix(&request, model, place).await,
            Fills::Infill => {
                let body = fill::infill(&request);
                let bytes = self.client.post_stream("/infill", &body).await;
                let bytes = bytes.map_err(|error| error.into_error(self.endpoint()))?;
                Ok(self.answer(bytes, Shape::Infill, model))
            }
            Fills::Segments => self.fill_by_segments(&request, model).await,
        }
    }

    /// How the server fills gaps with a model; a server that nothing is known of is asked for its
    /// list first, which may tell.
    async fn way_to_fill(&self, model: &str) -> Result<Fills, LlmError> {
        if self.make.is_none() && !self.learnt().listed {
            match self.models().await {
                Ok(_) => {}
                // A server without a list tells nothing by it.
                Err(error) if error.kind() == LlmErrorKind::Rejected => {}
                Err(error) => return Err(error),
            }
        }
        let completes = self.capabilities(model).completion;
        Ok(if completes { self.make().fills } else { Fills::No })
    }

    async fn fill_by_suffix(
        &self,
        request: &CompletionRequest,
        model: &str,
        place: Place,
    ) -> Result<ChatStream, LlmError> {
        let path = match place {
            Place::Api(path) => self.routes.of_model(model, path),
            Place::Root(path) => path.to_owned(),
        };
        let mut usage = self.dialect(model).takes(Field::StreamOptions);
        loop {
            let body = fill::suffix(request, model, usage);
            let refusal = match self.client.post_stream(&path, &body).await {
                Ok(bytes) => return Ok(self.answer(bytes, Shape::Choices, model)),
                Err(CallError::Failed(error)) => return Err(error),
                Err(CallError::Refused(refusal)) => refusal,
            };
            let asked = usage.then_some(((), Field::StreamOptions.name()));
            if complaint(&refusal, asked.into_iter()).is_none() {
                return Err(self.endpoint().refused(*refusal));
            }
            usage = false;
        }
    }

    async fn fill_by_segments(
        &self,
        request: &CompletionRequest,
        model: &str,
    ) -> Result<ChatStream, LlmError> {
        let path = self.routes.of_model(model, "/completions");
        let answer = self.client.post_json(&path, &fill::segments(request)).await;
        let answer: SegmentsResponse = answer.map_err(|it| it.into_error(self.endpoint()))?;
        let named = if model.is_empty() { self.make().name } else { model };
        Ok(ready_stream(fill::segments_answer(answer, &request.stop, named)))
    }
}
