"""A worker in the prefill role: reads prompts and hands their KV blocks over."""
