module hallpass.test/oracle

go 1.18

require (
	golang.org/x/crypto v0.24.0
	golang.org/x/mod v0.20.0
)

require golang.org/x/sys v0.21.0 // indirect
