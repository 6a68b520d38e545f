// What checks of more than one section look at. A section's own stand in its file, the others in CrossCheck+Run.swift.

struct CrossCheck {
    let configuration: Configuration
    /// The tree as it takes effect, routes with what they inherit.
    let root: Node
    /// The tree as it is in the file.
    let written: Node
    private let servicesByName: [String: Service]

    init(configuration: Configuration, root: Node, written: Node) {
        self.configuration = configuration
        self.root = root
        self.written = written
        servicesByName = Dictionary(
            configuration.services.map { ($0.name.value, $0) }, uniquingKeysWith: { first, _ in first })
    }

    func service(_ name: String) -> Service? { servicesByName[name] }
}
