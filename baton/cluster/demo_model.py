"""The model that comes with Baton, served when no other is named. How it is made: demo_model/."""

from pathlib import Path

NAME = "baton-demo"
FOLDER = Path(__file__).parent.parent / "demo"
