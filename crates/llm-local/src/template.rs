//! A model's own chat template: the conversation as the text that the model was trained on.
//!
//! Templates come with model files from anywhere, so that they run with a bound on their steps.

use minijinja::{Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig};

/// Steps that a template may take; a conversation of 10,000 messages needs far fewer.
const FUEL: u64 = 5_000_000;
const NAME: &str = "chat";

/// One message, as templates know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// `system`, `user`, `assistant` or `tool`.
    pub(crate) role: &'static str,
    /// What is said.
    pub(crate) content: String,
}

/// A compiled chat template.
pub(crate) struct ChatTemplate(Environment<'static>);

impl ChatTemplate {
    /// Compiles the Jinja `source`.
    pub(crate) fn new(source: String) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment
            .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", refuse);
        environment.set_fuel(Some(FUEL));
        environment.add_template_owned(NAME, source)?;
        Ok(Self(environment))
    }

    /// The conversation as text, up to where the model's answer begins.
    pub(crate) fn render(&self, messages: &[Line]) -> Result<String, Error> {
        let template = self.0.get_template(NAME)?;
        let message =
            |line: &Line| context! { role => line.role, content => line.content.as_str() };
        let messages: Vec<Value> = messages.iter().map(message).collect();
        template.render(context! { messages, add_generation_prompt => true })
    }
}

/// What templates call when a conversation is not to their liking.
fn refuse(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

#[cfg(test)]
mod tests {
    use super::{ChatTemplate, Line};

    fn render(source: &str) -> Result<String, minijinja::Error> {
        let messages = [Line { role: "user", content: " Hi ".to_owned() }];
        ChatTemplate::new(source.to_owned())?.render(&messages)
    }

    #[test]
    fn python_methods_and_block_trimming_work() {
        let source = "{% for m in messages %}\n  {% if m.role.startswith('u') %}\n{{ m.content.strip() }}\n  {% endif %}\n{% endfor %}\n>";
        assert_eq!(render(source).unwrap(), "Hi\n>");
    }

    #[test]
    fn a_template_can_refuse() {
        assert!(render("{{ raise_exception('no') }}").is_err());
    }

    #[test]
    fn an_endless_template_is_stopped() {
        let source =
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
        assert!(render(source).is_err());
    }
}
