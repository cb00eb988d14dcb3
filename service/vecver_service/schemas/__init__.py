"""The published schema, kept apart from the values of `vecver.model`.

requests   bodies and options; unknown names are errors
answers    versions, refs, jobs, problems
content    what a version holds: hits, documents, chunks
openai     requests and answers in the form of OpenAI's vector stores
"""
