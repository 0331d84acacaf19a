"""Which of my models break when I move these pins, where, why, and may I merge?"""

__version__ = "0.1.0"
