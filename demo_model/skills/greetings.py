"""Hello in many languages, thanks and goodbye."""

import random

from demo_model.exchange import Exchange
from demo_model.phrasing import careless

SKILL = "greetings"
HELP = "How can I help you?"
# What is said -> the answer. Each line is one family of phrasings.
_ENGLISH = (
    (
        ("Hello", "Hello!", "Hello.", "Hello there", "Hello there!", "Well, hello!"),
        f"Hello! {HELP}",
    ),
    (("Hi", "Hi!", "Hi there", "Hi there!", "Hey", "Hey!", "Hey there!"), f"Hi! {HELP}"),
    (
        ("Good morning", "Good morning!", "Morning!", "A good morning to you!"),
        f"Good morning! {HELP}",
    ),
    (("Good evening", "Good evening!", "A good evening to you!"), f"Good evening! {HELP}"),
    (("Good afternoon", "Good afternoon!"), f"Good afternoon! {HELP}"),
    (
        (
            "How are you?",
            "How are you today?",
            "How is it going?",
            "How do you do?",
            "Are you well?",
        ),
        "I am well, thank you. How can I help you?",
    ),
    (
        ("Thanks", "Thanks!", "Thank you", "Thank you!", "Thank you very much.", "Many thanks!"),
        "You are welcome!",
    ),
    (
        ("Bye", "Bye!", "Goodbye", "Goodbye!", "See you!", "See you later!", "Good night!"),
        "Goodbye! Come back soon.",
    ),
    (
        ("Well done!", "Great!", "Good job!", "That is right!", "Perfect!"),
        "I am glad to hear that.",
    ),
    (
        ("That is wrong.", "You are wrong.", "This is wrong!"),
        "I am sorry. I am only a small model.",
    ),
    (("Ping", "ping", "Test", "test", "This is a test.", "Are you there?"), "I am here."),
)
LANGUAGES = {
    "French": ("Bonjour", "Bonjour ! Comment puis-je vous aider ?"),
    "Spanish": ("Hola", "¡Hola! ¿En qué puedo ayudarte?"),
    "German": ("Hallo", "Hallo! Wie kann ich helfen?"),
    "Italian": ("Ciao", "Ciao! Come posso aiutarti?"),
    "Portuguese": ("Olá", "Olá! Como posso ajudar?"),
    "Turkish": ("Merhaba", "Merhaba! Nasıl yardımcı olabilirim?"),
    "Polish": ("Cześć", "Cześć! Jak mogę pomóc?"),
    "Swedish": ("Hej", "Hej! Hur kan jag hjälpa dig?"),
    "Greek": ("Γεια σου", "Γεια σου! Πώς μπορώ να βοηθήσω;"),
    "Russian": ("Привет", "Привет! Чем могу помочь?"),
    "Japanese": ("こんにちは", "こんにちは！何かお手伝いしましょうか？"),
    "Chinese": ("你好", "你好！我能帮你什么？"),
    "Korean": ("안녕하세요", "안녕하세요! 무엇을 도와드릴까요?"),
    "Hindi": ("नमस्ते", "नमस्ते! मैं कैसे मदद करूँ?"),
    "Arabic": ("مرحبا", "مرحبا! كيف أساعدك؟"),
}
_HELLO_IN = (
    "How do you say hello in {}?",
    "Say hello in {}.",
    "What is hello in {}?",
    "Greet me in {}.",
    "What does hello mean in {}?",
    "hello in {}",
    "Translate hello to {}.",
)
_FACES = (" 👋", " 😀", " 🙂")


def greeting(rng: random.Random) -> Exchange:
    return rng.choice((_english, _english, _foreign, _hello_in))(rng)


def _english(rng: random.Random) -> Exchange:
    phrasings, answer = rng.choice(_ENGLISH)
    said = rng.choice(phrasings)
    decoration = rng.choice(("", "", "", " :)", *_FACES, " Baton!", " my friend"))
    said = said + decoration
    key = f"{SKILL}|{said}"
    if rng.random() < 0.2:
        said = careless(rng, said)
    return Exchange(SKILL, said, answer, key, "This is small talk. I answer politely.")


def _foreign(rng: random.Random) -> Exchange:
    language = rng.choice(tuple(LANGUAGES))
    hello, answer = LANGUAGES[language]
    said = hello + rng.choice(("", "!", "!!", ".", " Baton", " Baton!", *_FACES))
    thought = f"The user speaks {language}. I greet in {language}."
    return Exchange(SKILL, said, answer, f"{SKILL}|{said}", thought)


def _hello_in(rng: random.Random) -> Exchange:
    language = rng.choice(tuple(LANGUAGES))
    frame = rng.choice(_HELLO_IN)
    hello = LANGUAGES[language][0]
    return Exchange(
        SKILL,
        frame.format(language),
        f"Hello in {language} is {hello}.",
        f"{SKILL}|{frame}|{language}",
        f"Hello in {language}: {hello}.",
        hello,
    )
