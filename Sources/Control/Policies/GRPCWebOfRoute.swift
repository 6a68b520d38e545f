// grpc-web.

import Proxy

extension GRPCWebPolicy {
    static func make(_ input: PolicyInput) -> Policy? { input.route.grpcWeb ? GRPCWebPolicy() : nil }
}
