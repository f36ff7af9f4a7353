// Command note opens a checkpoint with golang.org/x/mod/sumdb/note, which knows
// nothing of hallpass.
//
//	note CHECKPOINT-FILE VKEY
//
// VKEY is the ledger's verifier key itself (signature type 0x01), or the name of
// a file whose only line it is. When its signature verifies, the note's text goes
// to standard output and the names of signers that were not verified (a
// cosignature, type 0x04, is one of them) to standard error. Exit status: 0
// verified, 1 not, 2 usage.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: note CHECKPOINT-FILE VKEY")
		os.Exit(2)
	}
	message, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "note:", err)
		os.Exit(2)
	}
	vkey := os.Args[2]
	if text, err := os.ReadFile(vkey); err == nil {
		vkey = strings.TrimSuffix(string(text), "\n")
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		fmt.Fprintln(os.Stderr, "note:", err)
		os.Exit(2)
	}
	opened, err := note.Open(message, note.VerifierList(verifier))
	if err != nil {
		fmt.Fprintln(os.Stderr, "note:", err)
		os.Exit(1)
	}
	for _, signature := range opened.UnverifiedSigs {
		fmt.Fprintln(os.Stderr, "not verified:", signature.Name)
	}
	fmt.Print(opened.Text)
}
