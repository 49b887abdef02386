"""Images: from a file to what stands for them among the embeddings of a prompt."""
