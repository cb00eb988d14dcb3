"""What travels: `requests` refuse what they do not know, `answers` are the house's values, `openai` is for its clients.

They are the published contract, kept apart from the values of `vecver.model`.
"""
