"""What every ZMTP peer speaks: greeting, frames, metadata, commands, and the handshakes without security."""
