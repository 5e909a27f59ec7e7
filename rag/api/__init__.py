"""The library for other programs: over HTTP, in OpenAI's form and in its own."""
