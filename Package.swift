// swift-tools-version: 6.0
import PackageDescription

// The floors of the house (ARCHITECTURE.md). A module imports only from floors below its own;
// Tests/HouseTests keeps that true.

let package = Package(
    name: "weir",
    products: [
        .executable(name: "weir", targets: ["weir"]),
        // What other programs can use, one product a module: decisions and codecs, values in, values out.
        .library(name: "WeirBalancing", targets: ["WeirBalancing"]),
        .library(name: "WeirResilience", targets: ["WeirResilience"]),
        .library(name: "WeirExpressions", targets: ["WeirExpressions"]),
        .library(name: "WeirRouting", targets: ["WeirRouting"]),
        .library(name: "WeirFiles", targets: ["WeirFiles"]),
        .library(name: "WeirCompression", targets: ["WeirCompression"]),
        .library(name: "WeirGRPC", targets: ["WeirGRPC"]),
        .library(name: "WeirHTTPModel", targets: ["WeirHTTPModel"]),
        .library(name: "WeirHTTP1", targets: ["WeirHTTP1"]),
        .library(name: "WeirHTTP2", targets: ["WeirHTTP2"]),
        .library(name: "WeirJSON", targets: ["WeirJSON"]),
        .library(name: "WeirWebSocket", targets: ["WeirWebSocket"]),
        .library(name: "WeirAddresses", targets: ["WeirAddresses"]),
        .library(name: "WeirProxyProtocol", targets: ["WeirProxyProtocol"]),
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

        // libcurl's headers (libcurl4-openssl-dev); the library is loaded when it is needed.
        .target(name: "CCurl"),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),

        // Floor 1: the machine
        .target(name: "WeirAddresses", path: "Sources/Addresses"),
        .target(name: "Reactor", dependencies: ["CLinux", "WeirAddresses"]),
        .target(name: "NamedFiles"),

        // Floor 2: codecs
        .target(name: "WeirHTTPModel", path: "Sources/HTTPModel"),
        .target(name: "WeirHTTP1", dependencies: ["WeirHTTPModel"], path: "Sources/HTTP1"),
        .target(
            name: "WeirHTTP2", dependencies: ["CNGHTTP2", "WeirHTTPModel", "WeirHTTP1"], path: "Sources/HTTP2"
        ),
        .target(name: "WeirJSON", path: "Sources/JSON"),
        .target(name: "WeirWebSocket", path: "Sources/WebSocket"),
        .target(name: "WeirProxyProtocol", dependencies: ["WeirAddresses"], path: "Sources/ProxyProtocol"),
        .target(name: "TLS", dependencies: ["COpenSSL", "NamedFiles"]),
        .target(name: "HTTPClient", dependencies: ["CCurl", "Reactor"]),

        // Floor 3: decisions
        .target(name: "WeirBalancing", path: "Sources/Balancing"),
        .target(name: "WeirResilience", path: "Sources/Resilience"),
        .target(name: "WeirExpressions", dependencies: ["WeirHTTPModel"], path: "Sources/Expressions"),
        .target(
            name: "WeirRouting", dependencies: ["WeirHTTPModel", "WeirExpressions", "CPCRE2"],
            path: "Sources/Routing"),
        .target(name: "WeirFiles", dependencies: ["WeirHTTPModel"], path: "Sources/Files"),
        .target(
            name: "WeirCompression", dependencies: ["WeirHTTPModel", "CZlib", "CBrotli", "CZstd"],
            path: "Sources/Compression"),
        .target(name: "WeirGRPC", dependencies: ["WeirHTTPModel", "WeirResilience"], path: "Sources/GRPC"),

        // Floor 4: the data plane
        .target(
            name: "Telemetry",
            dependencies: [
                "Reactor", "WeirHTTPModel", "WeirJSON", "WeirResilience", "WeirRouting", "HTTPClient",
            ]),
        .target(
            name: "Proxy",
            dependencies: [
                "CLinux", "Reactor", "WeirHTTPModel", "WeirHTTP1", "WeirHTTP2", "WeirWebSocket",
                "WeirProxyProtocol", "TLS",
                "WeirBalancing",
                "WeirResilience", "WeirExpressions", "WeirRouting", "Telemetry", "WeirFiles",
                "WeirCompression",
                "WeirGRPC",
            ]),

        // Floor 5: what produces snapshots
        .target(
            name: "Configuration",
            dependencies: [
                "WeirBalancing", "WeirExpressions", "CYAML", "WeirHTTPModel", "WeirJSON", "NamedFiles",
            ]),
        .target(
            name: "Control",
            dependencies: [
                "CAres", "Configuration", "Proxy", "Telemetry", "Reactor", "WeirExpressions", "WeirRouting",
                "WeirHTTPModel",
                "WeirHTTP1",
                "HTTPClient", "WeirResilience", "WeirBalancing", "TLS", "WeirHTTP2", "WeirFiles",
                "WeirCompression", "NamedFiles",
            ]),

        // Floor 6: what shows and asks
        .target(
            name: "Admin",
            dependencies: [
                "WeirBalancing", "Control", "Configuration", "Proxy", "Telemetry", "Reactor", "WeirHTTPModel",
                "WeirHTTP1", "WeirJSON", "TLS",
            ]),
        .executableTarget(
            name: "weir",
            dependencies: ["Admin", "Control", "Configuration", "Proxy", "Telemetry", "Reactor"]),

        .testTarget(name: "AddressesTests", dependencies: ["WeirAddresses"]),
        .testTarget(name: "ReactorTests", dependencies: ["Reactor", "WeirBalancing"]),
        .testTarget(name: "NamedFilesTests", dependencies: ["NamedFiles"]),
        .testTarget(name: "HTTPModelTests", dependencies: ["WeirHTTPModel", "WeirBalancing"]),
        .testTarget(name: "HTTP1Tests", dependencies: ["WeirHTTP1", "WeirHTTPModel", "WeirBalancing"]),
        .testTarget(name: "HTTP2Tests", dependencies: ["WeirHTTP2", "WeirHTTPModel", "WeirHTTP1"]),
        .testTarget(name: "JSONTests", dependencies: ["WeirJSON"]),
        .testTarget(name: "WebSocketTests", dependencies: ["WeirWebSocket"]),
        .testTarget(name: "ProxyProtocolTests", dependencies: ["WeirProxyProtocol", "WeirAddresses"]),
        .testTarget(name: "TLSTests", dependencies: ["TLS", "COpenSSL"]),
        .testTarget(name: "HTTPClientTests", dependencies: ["HTTPClient", "Reactor"], exclude: ["peer.py"]),
        .testTarget(name: "BalancingTests", dependencies: ["WeirBalancing"]),
        .testTarget(name: "ResilienceTests", dependencies: ["WeirResilience", "WeirBalancing"]),
        .testTarget(
            name: "ExpressionsTests", dependencies: ["WeirExpressions", "WeirHTTPModel", "WeirBalancing"]),
        .testTarget(
            name: "RoutingTests",
            dependencies: [
                "WeirRouting", "WeirExpressions", "WeirHTTPModel", "WeirHTTP1", "WeirFiles", "WeirBalancing",
            ]),
        .testTarget(name: "FilesTests", dependencies: ["WeirFiles", "WeirHTTPModel", "WeirHTTP1"]),
        .testTarget(
            name: "CompressionTests",
            dependencies: [
                "WeirCompression", "WeirHTTPModel", "WeirHTTP1", "WeirBalancing", "CZlib", "CBrotli", "CZstd",
            ]),
        .testTarget(name: "GRPCTests", dependencies: ["WeirGRPC", "WeirHTTPModel", "WeirResilience"]),
        .testTarget(
            name: "TelemetryTests",
            dependencies: ["Telemetry", "WeirResilience", "HTTPClient", "WeirHTTPModel", "Reactor"]),
        .testTarget(
            name: "ConfigurationTests", dependencies: ["Configuration", "WeirExpressions", "WeirBalancing"]),
        .testTarget(
            name: "ControlTests",
            dependencies: [
                "Control", "Configuration", "HTTPClient", "WeirHTTPModel", "Reactor", "TLS", "Telemetry",
                "Proxy",
            ]),
        .testTarget(
            name: "ProxyTests",
            dependencies: [
                "Proxy", "WeirHTTPModel", "WeirHTTP1", "WeirHTTP2", "Reactor", "WeirBalancing",
                "WeirResilience", "WeirRouting", "Telemetry", "WeirFiles",
            ]),
        // One worker with its clients and endpoints, in one thread and in virtual time.
        .testTarget(
            name: "SimTests",
            dependencies: [
                "CLinux", "Proxy", "Control", "Configuration", "Telemetry", "Reactor", "WeirBalancing",
                "WeirHTTP2",
                "WeirHTTPModel", "WeirHTTP1",
            ], path: "Tests/Sim"),
        .testTarget(
            name: "AdminTests",
            dependencies: [
                "Admin", "Control", "Configuration", "Telemetry", "WeirResilience", "Reactor",
                "WeirHTTPModel",
                "WeirJSON", "Proxy",
            ]),
        // What the libraries' pages show, without a look inside.
        .testTarget(
            name: "LibraryExamples",
            dependencies: [
                "WeirExpressions", "WeirAddresses", "WeirBalancing", "WeirResilience", "WeirRouting",
                "WeirFiles",
                "WeirCompression", "WeirGRPC", "WeirHTTPModel", "WeirHTTP1", "WeirHTTP2",
                "WeirJSON", "WeirWebSocket", "WeirProxyProtocol",
            ]),
        // The house itself: imports against the floors, ARCHITECTURE.md, banned calls, documented keys.
        .testTarget(name: "HouseTests", dependencies: ["Configuration", "WeirHTTP2", "WeirResilience"]),
    ]
)
