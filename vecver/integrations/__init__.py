"""Adapters for frameworks, each an extra of its own: `pip install 'vecver[langchain]'`, `'vecver[mcp]'` ...

They are faces: everything goes through the handles that `import vecver` gives, of a folder or of a service.
"""
