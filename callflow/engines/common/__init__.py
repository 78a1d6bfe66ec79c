"""What all engines of one vendor share: the account with its breaker, connections opened ahead, sockets."""
