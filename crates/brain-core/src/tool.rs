//! The tool port: a typed trait for authors, an erased one for the turn.
//!
//! It runs nothing by itself and knows no sandbox; which calls may run is the turn's decision.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{BoxError, ids::SessionKey};

/// What the model is told about a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Unique name: at most 64 of `a-z A-Z 0-9 _ -`, the limit of OpenAI's API.
    pub name: String,
    /// When and why to call it.
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: Value,
}

/// What a tool may touch; decides whether a call needs approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolClass {
    /// Reads what belongs to the session.
    Read,
    /// Writes what belongs to the session.
    Write,
    /// Runs a program.
    Execute,
    /// Talks to the network.
    Network,
}

/// Facts about the call that a tool may use.
#[derive(Clone, Debug)]
pub struct ToolContext {
    /// The conversation the call belongs to, and its owner.
    pub session: SessionKey,
}

/// A tool as the turn sees it: name, schema, JSON in, text out.
///
/// Implement [`TypedTool`] instead unless the schema is only known at run time. Dropping the
/// future of a call cancels it; what it did until then is not undone.
#[async_trait]
pub trait Tool: fmt::Debug + Send + Sync + 'static {
    /// What the model is told.
    fn spec(&self) -> ToolSpec;

    /// What the tool may touch.
    fn class(&self) -> ToolClass;

    /// Runs the tool.
    ///
    /// # Errors
    ///
    /// See [`ToolError`]: which variant decides whether the model may go on.
    async fn call(&self, context: &ToolContext, arguments: Value) -> Result<String, ToolError>;
}

/// A tool as its author writes it: static dispatch, typed arguments.
///
/// ```
/// use brain_core::tool::{ToolBox, ToolClass, ToolContext, ToolError, TypedTool};
/// use serde_json::{Value, json};
///
/// #[derive(Debug)]
/// struct Double;
///
/// impl TypedTool for Double {
///     const NAME: &'static str = "double";
///     const DESCRIPTION: &'static str = "Doubles a number.";
///     const CLASS: ToolClass = ToolClass::Read;
///     type Args = u64;
///     type Output = u64;
///
///     fn parameters(&self) -> Value {
///         json!({ "type": "integer" })
///     }
///
///     async fn run(&self, _context: &ToolContext, args: u64) -> Result<u64, ToolError> {
///         args.checked_mul(2).ok_or_else(|| ToolError::Refused("too large".to_owned()))
///     }
/// }
///
/// let tools = ToolBox::default().with(Double);
/// assert_eq!(tools.specs().len(), 1);
/// ```
pub trait TypedTool: fmt::Debug + Send + Sync + 'static {
    /// Unique name; see [`ToolSpec::name`].
    const NAME: &'static str;
    /// When and why to call it.
    const DESCRIPTION: &'static str;
    /// What it may touch.
    const CLASS: ToolClass;
    /// What the model must send.
    type Args: DeserializeOwned + Send;
    /// What the model gets back.
    type Output: Serialize + Send;

    /// JSON Schema of [`TypedTool::Args`].
    fn parameters(&self) -> Value;

    /// Runs the tool.
    ///
    /// # Errors
    ///
    /// See [`ToolError`].
    fn run(
        &self,
        context: &ToolContext,
        args: Self::Args,
    ) -> impl Future<Output = Result<Self::Output, ToolError>> + Send;
}

#[async_trait]
impl<T: TypedTool> Tool for T {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: T::NAME.to_owned(),
            description: T::DESCRIPTION.to_owned(),
            parameters: self.parameters(),
        }
    }

    fn class(&self) -> ToolClass {
        T::CLASS
    }

    async fn call(&self, context: &ToolContext, arguments: Value) -> Result<String, ToolError> {
        let args = serde_json::from_value(arguments)
            .map_err(|error| ToolError::Refused(format!("invalid arguments: {error}")))?;
        let output = self.run(context, args).await?;
        serde_json::to_string(&output).map_err(|error| ToolError::Broken(error.into()))
    }
}

/// A tool call failed; the two variants are the two things the turn can do about it.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Tell the model; it may correct itself. The text is model-visible.
    #[error("the tool refused the call: {0}")]
    Refused(String),
    /// End the turn; the source is for operators, never for the model.
    #[error("the tool is broken")]
    Broken(#[source] BoxError),
}

/// The tools of a brain, by name.
#[derive(Clone, Debug, Default)]
pub struct ToolBox {
    tools: BTreeMap<String, Arc<dyn Tool>>,
}

impl ToolBox {
    /// The same tools and one more; a tool of the same name is replaced.
    #[must_use]
    pub fn with(mut self, tool: impl Tool) -> Self {
        self.tools.insert(tool.spec().name, Arc::new(tool));
        self
    }

    /// Those of the same tools that are named.
    #[must_use]
    pub fn only(mut self, names: &[String]) -> Self {
        self.tools.retain(|name, _| names.contains(name));
        self
    }

    /// What the model is told, sorted by name.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.values().map(|tool| tool.spec()).collect()
    }

    /// The tool of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.get(name)
    }
}
