// swift-tools-version: 6.0
import PackageDescription

// The floors of the house (ARCHITECTURE.md). A module imports only from floors below its own;
// Tests/HouseTests keeps that true.

let package = Package(
    name: "weir",
    products: [
        .executable(name: "weir", targets: ["weir"]),
        // The decisions are usable by other programs: values in, values out, no sockets, no clocks.
        .library(name: "WeirDecisions", targets: ["Balancing", "Resilience", "Routing", "Files"]),
        .library(name: "WeirHTTP", targets: ["HTTPModel", "HTTP1", "ProxyProtocol"]),
    ],
    targets: [
        // Floor 0: C
        .target(name: "CLinux"),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
        .systemLibrary(name: "CAres", pkgConfig: "libcares", providers: [.apt(["libc-ares-dev"])]),
        .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CBrotli", pkgConfig: "libbrotlienc", providers: [.apt(["libbrotli-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),

        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),

        // Floor 1: the machine
        .target(name: "Reactor", dependencies: ["CLinux"]),
        .target(name: "NamedFiles"),

        // Floor 2: codecs
        .target(name: "HTTPModel"),
        .target(name: "HTTP1", dependencies: ["HTTPModel"]),
        .target(name: "HTTP2", dependencies: ["CNGHTTP2", "HTTPModel", "HTTP1"]),
        .target(name: "JSON"),
        .target(name: "WebSocket"),
        .target(name: "ProxyProtocol", dependencies: ["Reactor"]),
        .target(name: "TLS", dependencies: ["COpenSSL", "NamedFiles"]),
        .target(name: "HTTPClient", dependencies: ["CCurl", "Reactor"]),

        // Floor 3: decisions
        .target(name: "Balancing"),
        .target(name: "Resilience"),
        .target(name: "Routing", dependencies: ["HTTPModel", "CPCRE2"]),
        .target(name: "Files", dependencies: ["HTTPModel"]),
        .target(name: "Compression", dependencies: ["HTTPModel", "CZlib", "CBrotli", "CZstd"]),
        .target(name: "GRPC", dependencies: ["HTTPModel", "Resilience"]),

        // Floor 4: the data plane
        .target(
            name: "Telemetry", dependencies: ["Reactor", "HTTPModel", "JSON", "Resilience", "HTTPClient"]),
        .target(
            name: "Proxy",
            dependencies: [
                "CLinux", "Reactor", "HTTPModel", "HTTP1", "HTTP2", "WebSocket", "ProxyProtocol", "TLS",
                "Balancing",
                "Resilience", "Routing", "Telemetry", "Files", "Compression", "GRPC",
            ]),

        // Floor 5: what produces snapshots
        .target(
            name: "Configuration", dependencies: ["Balancing", "CYAML", "HTTPModel", "JSON", "NamedFiles"]),
        .target(
            name: "Control",
            dependencies: [
                "CAres", "Configuration", "Proxy", "Telemetry", "Reactor", "Routing", "HTTPModel", "HTTP1",
                "HTTPClient", "Resilience", "Balancing", "TLS", "HTTP2", "Files", "Compression", "NamedFiles",
            ]),

        // Floor 6: what shows and asks
        .target(
            name: "Admin",
            dependencies: [
                "Balancing", "Control", "Configuration", "Proxy", "Telemetry", "Reactor", "HTTPModel",
                "HTTP1", "JSON", "TLS",
            ]),
        .executableTarget(
            name: "weir",
            dependencies: ["Admin", "Control", "Configuration", "Proxy", "Telemetry", "Reactor"]),

        .testTarget(name: "ReactorTests", dependencies: ["Reactor"]),
        .testTarget(name: "NamedFilesTests", dependencies: ["NamedFiles"]),
        .testTarget(name: "HTTPModelTests", dependencies: ["HTTPModel"]),
        .testTarget(name: "HTTP1Tests", dependencies: ["HTTP1", "HTTPModel"]),
        .testTarget(name: "HTTP2Tests", dependencies: ["HTTP2", "HTTPModel", "HTTP1"]),
        .testTarget(name: "JSONTests", dependencies: ["JSON"]),
        .testTarget(name: "WebSocketTests", dependencies: ["WebSocket"]),
        .testTarget(name: "ProxyProtocolTests", dependencies: ["ProxyProtocol", "Reactor"]),
        .testTarget(name: "TLSTests", dependencies: ["TLS", "COpenSSL"]),
        .testTarget(name: "HTTPClientTests", dependencies: ["HTTPClient", "Reactor"], exclude: ["peer.py"]),
        .testTarget(name: "BalancingTests", dependencies: ["Balancing"]),
        .testTarget(name: "ResilienceTests", dependencies: ["Resilience"]),
        .testTarget(name: "RoutingTests", dependencies: ["Routing", "HTTPModel", "HTTP1", "Files"]),
        .testTarget(name: "FilesTests", dependencies: ["Files", "HTTPModel", "HTTP1"]),
        .testTarget(
            name: "CompressionTests",
            dependencies: ["Compression", "HTTPModel", "HTTP1", "CZlib", "CBrotli", "CZstd"]),
        .testTarget(name: "GRPCTests", dependencies: ["GRPC", "HTTPModel", "Resilience"]),
        .testTarget(
            name: "TelemetryTests",
            dependencies: ["Telemetry", "Resilience", "HTTPClient", "HTTPModel", "Reactor"]),
        .testTarget(name: "ConfigurationTests", dependencies: ["Configuration"]),
        .testTarget(
            name: "ControlTests",
            dependencies: [
                "Control", "Configuration", "HTTPClient", "HTTPModel", "Reactor", "TLS", "Telemetry", "Proxy",
            ]),
        .testTarget(
            name: "ProxyTests",
            dependencies: [
                "Proxy", "HTTPModel", "HTTP1", "Reactor", "Resilience", "Routing", "Telemetry", "Files",
            ]),
        .testTarget(
            name: "AdminTests",
            dependencies: [
                "Admin", "Control", "Configuration", "Telemetry", "Resilience", "Reactor", "HTTPModel",
                "JSON", "Proxy",
            ]),
        // The house itself: imports against the floors, ARCHITECTURE.md, banned calls, documented keys.
        .testTarget(name: "HouseTests", dependencies: ["Configuration", "HTTP2", "Resilience"]),
    ]
)
