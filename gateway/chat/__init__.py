"""What the chat endpoint and its neighbours ask of one model."""
