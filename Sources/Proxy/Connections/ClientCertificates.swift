// The certificate of the client behind an exchange, for those who read it: routes, templates, records.
//
// Streams of HTTP/2 have the certificate of the connection that carries them. The texts are TLS's and
// live as long as its session, which is longer than any exchange on it.

import WeirRouting
import TLS
import Telemetry

extension Worker {
    /// Hands over the certificate the client of an exchange showed; nil without one.
    func withClientCertificate<Result>(
        _ exchange: ExchangePointer, _ body: (UnsafePointer<CertificateView>?) -> Result
    ) -> Result {
        guard
            let certificate = exchange.pointee.client.pointee.transport.encryption?.clientCertificate
        else { return body(nil) }
        return withUnsafePointer(to: CertificateView(certificate.pointee)) { body($0) }
    }
}

extension CertificateView {
    init(_ certificate: ClientCertificate) {
        self.init()
        subject = certificate.subject
        issuer = certificate.issuer
        san = certificate.san
        fingerprint = certificate.fingerprint
        serial = certificate.serial
    }
}

extension RequestRecord {
    /// Puts the certificate a client showed into its record.
    mutating func name(_ session: TLSSession?) {
        guard let certificate = session?.clientCertificate?.pointee else { return }
        certificateSubject = certificate.subject
        certificateSAN = certificate.san
        certificateFingerprint = certificate.fingerprint
        certificateSerial = certificate.serial
    }
}
