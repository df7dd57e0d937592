"""What the tests of the gRPC API share: a gateway, tokens, certificates, offers and clients."""
