// Which certificates a server name gets: names before time, time before order.
//
// Pure. For every name, per kind of key (so that ECDSA and RSA stand side by side and the client's
// signature algorithms choose, RFC 8446 §4.2.3): the newest certificate that is valid now. An expired
// one is used only when no valid one covers the name: then the client's error tells the truth.

/// The choice between certificates, from their names and times alone.
struct CertificateSelection {
    struct Candidate {
        var names: [String]
        var keyKind: CertificateInfo.KeyKind
        var notBefore: Int64
        var notAfter: Int64
    }

    let candidates: [Candidate]
    let nowSeconds: Int64

    /// Indexes of the certificates for an exact name, one per kind of key, in order of preference.
    func certificates(forName name: String) -> [Int] {
        let exact = candidates.indices.filter { candidates[$0].names.contains(name) }
        let wildcard = Self.wildcard(covering: name).map { pattern in
            candidates.indices.filter { candidates[$0].names.contains(pattern) }
        }
        return best([exact, wildcard ?? []])
    }

    /// The same for a pattern such as "*.example.com".
    func certificates(forPattern pattern: String) -> [Int] {
        best([candidates.indices.filter { candidates[$0].names.contains(pattern) }])
    }

    /// For clients that name no server, or none that is known: what the first certificate's first name
    /// gets.
    var defaultCertificates: [Int] {
        guard let first = candidates.first else { return [] }
        guard let name = first.names.first else { return [0] }
        return name.hasPrefix("*.") ? certificates(forPattern: name) : certificates(forName: name)
    }

    /// The first moment at which another choice would be made; nil: never.
    var nextChangeSeconds: Int64? {
        var next: Int64?
        for candidate in candidates {
            for moment in [candidate.notBefore, candidate.notAfter + 1] where moment > nowSeconds {
                next = min(next ?? moment, moment)
            }
        }
        return next
    }

    /// "a.example.com" → "*.example.com": one label only (RFC 6125 §6.4.3).
    static func wildcard(covering name: String) -> String? {
        guard let dot = name.firstIndex(of: "."), dot != name.startIndex else { return nil }
        let rest = name[dot...]
        return rest.count > 1 ? "*" + rest : nil
    }

    private func best(_ groups: [[Int]]) -> [Int] {
        for group in groups {
            let valid = newest(group.filter { isValid($0) })
            if !valid.isEmpty { return valid }
        }
        for group in groups where !group.isEmpty { return newest(group) }
        return []
    }

    private func isValid(_ i: Int) -> Bool {
        nowSeconds >= candidates[i].notBefore && nowSeconds <= candidates[i].notAfter
    }

    /// One per kind of key, the newest; among equals the first given.
    private func newest(_ group: [Int]) -> [Int] {
        var chosen: [Int] = []
        for i in group {
            if let at = chosen.firstIndex(where: { candidates[$0].keyKind == candidates[i].keyKind }) {
                if candidates[i].notBefore > candidates[chosen[at]].notBefore { chosen[at] = i }
            } else {
                chosen.append(i)
            }
        }
        return chosen
    }
}
