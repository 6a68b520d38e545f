// Resilience: see ARCHITECTURE.md
