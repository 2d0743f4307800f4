//! A small language model and embeddings inside the process, on candle.
