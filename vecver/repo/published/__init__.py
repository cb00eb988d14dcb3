"""What is published in a Milvus: the ledger of collections, and the rows that belong there."""
