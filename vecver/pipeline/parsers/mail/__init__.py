"""Mail: messages, mailboxes and their headers."""
