// Command cert shows a certificate to golang.org/x/crypto/ssh, which knows
// nothing of hallpass.
//
//	cert CERT-FILE CA.pub PRINCIPAL [UNIX-TIME]
//
// The certificate is parsed (with the extension log-proof@hallpass in it, which
// must be there) and then goes the way it would go in an SSH server: CertChecker
// asks whether the CA is trusted and checks the CA's signature, the principal,
// the critical options and the validity, now or at UNIX-TIME. It prints
// "go: accepted serial N" and exits 0, or says why not and exits 1; 2 is usage.
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

const extension = "log-proof@hallpass"

// login is an SSH connection of which only the user's name is ever asked.
type login struct {
	ssh.ConnMetadata
	user string
}

func (l login) User() string         { return l.user }
func (l login) RemoteAddr() net.Addr { return nil }

func readKey(file string) (ssh.PublicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, _, _, rest, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("%s: more than one key", file)
	}
	return key, nil
}

func check(certFile, caFile, principal string, now time.Time) (uint64, error) {
	key, err := readKey(certFile)
	if err != nil {
		return 0, err
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return 0, fmt.Errorf("%s: not a certificate", certFile)
	}
	ca, err := readKey(caFile)
	if err != nil {
		return 0, err
	}
	if cert.Extensions[extension] == "" {
		return 0, fmt.Errorf("no extension %s", extension)
	}
	if len(cert.ValidPrincipals) == 0 {
		return 0, fmt.Errorf("no principals")
	}
	checker := ssh.CertChecker{
		SupportedCriticalOptions: []string{"force-command", "verify-required"},
		IsUserAuthority: func(authority ssh.PublicKey) bool {
			return bytes.Equal(authority.Marshal(), ca.Marshal())
		},
		Clock: func() time.Time { return now },
	}
	if err := checker.CheckCert(principal, cert); err != nil {
		return 0, err
	}
	// Authenticate asks IsUserAuthority, which CheckCert does not.
	if _, err := checker.Authenticate(login{user: principal}, cert); err != nil {
		return 0, err
	}
	return cert.Serial, nil
}

func main() {
	if len(os.Args) != 4 && len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: cert CERT-FILE CA.pub PRINCIPAL [UNIX-TIME]")
		os.Exit(2)
	}
	now := time.Now()
	if len(os.Args) == 5 {
		seconds, err := strconv.ParseInt(os.Args[4], 10, 64)
		if err != nil {
			fmt.Fprintln(os.Stderr, "cert:", err)
			os.Exit(2)
		}
		now = time.Unix(seconds, 0)
	}
	serial, err := check(os.Args[1], os.Args[2], os.Args[3], now)
	if err != nil {
		fmt.Println("go: refused:", err)
		os.Exit(1)
	}
	fmt.Println("go: accepted serial", serial)
}
