// Proxy: see ARCHITECTURE.md
