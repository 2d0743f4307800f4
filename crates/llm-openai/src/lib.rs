//! OpenAI Chat Completions and every server that speaks it, as a language-model gateway.
