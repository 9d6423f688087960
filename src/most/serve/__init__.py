"""Speech served over the endpoints that clients of OpenAI's API know: `most serve`."""
