// Reactor: see ARCHITECTURE.md
