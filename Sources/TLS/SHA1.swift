// SHA-1 of short texts, for the one protocol that still asks for it: WebSocket's opening handshake
// (RFC 6455 §1.3), where it proves nothing but that the server read the request. Not for signatures.

import COpenSSL

/// The 20 bytes of the digest; nil when OpenSSL refuses to make it.
public func sha1(_ bytes: [UInt8]) -> [UInt8]? {
    var digest = [UInt8](repeating: 0, count: 20)
    var count: UInt32 = 0
    guard EVP_Digest(bytes, bytes.count, &digest, &count, EVP_sha1(), nil) == 1, count == 20 else {
        return nil
    }
    return digest
}
