"""The protocol in forms that other tools read: AsyncAPI, OpenAPI, TypeScript, one JSON Schema."""
