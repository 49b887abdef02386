"""Neighbours of the chat API, as thin translations: a request into a chat request, a chat answer
into an answer, chat chunks into events. Pure; the endpoints run the chat.
"""
