//! What every HTTP provider shares: the client, the SSE decoder, the error classifier.
