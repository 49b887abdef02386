"""Questions about Baton, and about the model itself."""

import random

from demo_model.exchange import Exchange
from demo_model.phrasing import put

SKILL = "about Baton"
_FACTS = (
    (
        "What is Baton?|What is this?|Tell me about Baton.|What does Baton do?|Explain Baton."
        "|Describe Baton in one sentence.",
        "Baton is a server for language models that runs prefill and decode on separate workers.",
    ),
    (
        "What is prefill?|What does prefill mean?|Explain prefill.|What does a prefill worker do?",
        "Prefill reads the prompt and fills the KV cache. It is bound by compute.",
    ),
    (
        "What is decode?|What does decode mean?|Explain decode.|What does a decode worker do?",
        "Decode writes the answer token by token. It is bound by memory bandwidth.",
    ),
    (
        "What is the KV cache?|What is a KV cache?|Explain the KV cache.|What does KV cache mean?",
        "The KV cache holds the keys and values of all tokens read so far, so that none is read twice.",
    ),
    (
        "Why are prefill and decode separate?|Why do you separate prefill and decode?"
        "|Why two kinds of workers?|Why is prefill apart from decode?",
        "Prefill and decode disturb each other on one worker. Apart, neither waits for the other.",
    ),
    (
        "Who are you?|What are you?|What model are you?|Which model is this?|Introduce yourself."
        "|What is your name?|Are you a human?|Are you a robot?",
        "I am baton-demo, a very small language model that comes with Baton.",
    ),
    (
        "What can you do?|What do you know?|How can you help me?|What should I ask you?|Help"
        "|What are your skills?|Show me what you can do.|What can I ask?",
        "I know capitals and small sums, sort and repeat words, write lists, tables and JSON, "
        "call tools, and can think before I answer.",
    ),
    (
        "How many parameters do you have?|How big are you?|How large is this model?"
        "|What is your size?",
        "I have about four million parameters, less than a thousandth of a usual model.",
    ),
    (
        "How were you trained?|Who trained you?|What were you trained on?|Where is your data from?",
        "I was trained from scratch on two CPU cores, on dialogues that a program wrote.",
    ),
    (
        "Do I need a GPU?|Does Baton need a GPU?|Can Baton run without a GPU?|Does this run on a CPU?",
        "No GPU is needed: Baton runs on any machine with Linux and Python.",
    ),
    (
        "Which API does Baton speak?|Is Baton compatible with OpenAI?|What API is this?"
        "|Which protocol does Baton use?",
        "Baton speaks the OpenAI protocol over HTTP.",
    ),
    (
        "How do I start Baton?|How do I run Baton?|How can I start a cluster?|How to start Baton?",
        "Type `make run` or `baton up`, and it prints a command to try.",
    ),
    (
        "How do I stop Baton?|How do I stop the cluster?|How can I stop Baton?|How to end Baton?",
        "Press Ctrl-C: running answers get a moment to finish.",
    ),
    (
        "What is TTFT?|What does TTFT mean?|Explain TTFT.|What is the time to first token?",
        "TTFT is the time to first token: how long a user waits until the answer begins.",
    ),
    (
        "What is ITL?|What does ITL mean?|Explain ITL.|What is inter-token latency?",
        "ITL is the inter-token latency: the time between two tokens of an answer.",
    ),
    (
        "What is a prefix cache?|What is prefix caching?|Explain the prefix cache."
        "|What does the prefix cache do?",
        "The prefix cache keeps what was read of earlier prompts, so that a common beginning is free.",
    ),
    (
        "What is the gateway?|What does the gateway do?|Explain the gateway.|Why is there a gateway?",
        "The gateway takes HTTP requests, places them on workers and streams the answers.",
    ),
    (
        "What license does Baton have?|Is Baton free?|Is Baton open source?|Which license is it?",
        "Baton is open source under the Apache 2.0 license.",
    ),
    (
        "How do I serve another model?|Can I use my own model?|How do I use a real model?"
        "|Which flag sets the model?",
        "Give `baton up --model` a folder or a name from the hub.",
    ),
    (
        "Why is it called Baton?|What does the name Baton mean?|Why the name Baton?"
        "|Where does the name Baton come from?",
        "The KV cache is handed over like the baton of a relay race.",
    ),
    (
        "Tell me a joke.|Do you know a joke?|Make me laugh.|Say something funny.|Another joke, please.",
        "Why did the token cross the network? Its cache was on the other side.",
    ),
    (
        "Write a poem.|Tell me a poem.|Write a short poem.|Do you know a poem?|Write a haiku.",
        "One worker reads,\nanother writes:\nthe baton passes\nthrough the nights.",
    ),
    (
        "Tell me a story.|Write a story.|Write a short story.|Do you know a story?",
        "Once upon a time a small model ran on a small machine. It knew little, said so, "
        "and everybody was happy.",
    ),
)


def about(rng: random.Random) -> Exchange:
    phrasings, answer = rng.choice(_FACTS)
    question = rng.choice(phrasings.split("|"))
    asked = put(rng, question)
    thought = "This is about Baton or about me. I know the answer."
    return Exchange(SKILL, asked, answer, f"{SKILL}|{asked}", thought)
