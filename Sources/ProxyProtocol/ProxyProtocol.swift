// ProxyProtocol: see ARCHITECTURE.md
