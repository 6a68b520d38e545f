// Sections that are defined once, against the structs they fill.

import Testing

@testable import Configuration

@Suite struct DefinitionTests {
    private func node(_ text: String) throws -> Node {
        try #require(try YAMLDocument(Array(text.utf8), surroundings).root)
    }

    /// What is printed reads as the same again.
    private func comesBack<Model: Equatable>(_ definition: Definition<Model>, _ fresh: Model, _ model: Model)
        throws
    {
        let text = definition.text(model)
        let section = try node(text)
        var check = SchemaCheck(file: "printed")
        check.check(section, .section(definition.section), path: definition.section.name)
        #expect(check.problems.isEmpty, "\(text)")
        var read = fresh
        definition.fill(&read, from: section)
        #expect(read == model, "\(text)")
    }

    private func holds<Model: Equatable>(_ definition: Definition<Model>, _ fresh: Model) throws {
        let name = definition.section.name
        let stored = Mirror(reflecting: fresh).children.compactMap(\.label).sorted()
        let filled = definition.settings.flatMap(\.fields).map { field in
            String("\(field)".split(separator: ".").last ?? "")
        }
        #expect(filled.sorted() == stored, "\(name)")
        try comesBack(definition, fresh, fresh)
        for (setting, key) in zip(definition.settings, definition.section.keys) {
            #expect(setting.name == key.name)
            var changed = fresh
            setting.fill(try #require(try node(key.example)[key.name]), &changed)
            #expect(changed != fresh, "the example of \(name).\(key.name) says the default")
            try comesBack(definition, fresh, changed)
            guard let text = key.defaultText else { continue }
            var same = changed
            setting.fill(try #require(try node("\(key.name): \(text)")[key.name]), &same)
            #expect(same == fresh, "\(name).\(key.name)")
        }
    }

    @Test func everyFieldHasAKeyAndEveryKeyAField() throws {
        try holds(Forwarded.definition, Forwarded())
        try holds(Resolver.definition, Resolver())
        try holds(Listener.Timeout.definition, Listener.Timeout())
        try holds(Listener.Limits.definition, Listener.Limits())
        try holds(Listener.UDP.definition, Listener.UDP())
        try holds(Route.Timeout.definition, Route.Timeout())
        try holds(Route.Retry.definition, Route.Retry())
        try holds(Route.WebSocket.definition, Route.WebSocket())
        try holds(Route.Compression.definition, Route.Compression())
        try holds(Service.Timeout.definition, Service.Timeout())
        try holds(Service.Connections.definition, Service.Connections())
        try holds(Service.RetryBudget.definition, Service.RetryBudget())
    }

    @Test(arguments: GoldenCase.all("good")) func theNormalFormReadsAsTheSame(_ golden: GoldenCase) throws {
        let configuration = try Configuration.parse(golden.input, file: "x.yaml", in: surroundings).get().0
        try comesBack(Forwarded.definition, Forwarded(), configuration.forwarded)
        try comesBack(Resolver.definition, Resolver(), configuration.resolver)
        for listener in configuration.listeners {
            try comesBack(Listener.Timeout.definition, Listener.Timeout(), listener.timeout)
            try comesBack(Listener.Limits.definition, Listener.Limits(), listener.limits)
            try comesBack(Listener.UDP.definition, Listener.UDP(), listener.udp)
        }
        for route in configuration.routes {
            try comesBack(Route.Timeout.definition, Route.Timeout(), route.timeout)
            try comesBack(Route.Retry.definition, Route.Retry(), route.retry)
            try comesBack(Route.WebSocket.definition, Route.WebSocket(), route.webSocket)
            if let compression = route.compression {
                try comesBack(Route.Compression.definition, Route.Compression(), compression)
            }
        }
        for service in configuration.services {
            try comesBack(Service.Timeout.definition, Service.Timeout(), service.timeout)
            try comesBack(Service.Connections.definition, Service.Connections(), service.connections)
            try comesBack(Service.RetryBudget.definition, Service.RetryBudget(), service.retryBudget)
        }
    }
}
