"""Load on a server that speaks the OpenAI API: address, client, parsers (pure), prompts, scenarios, the run itself."""
