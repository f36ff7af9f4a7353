// Command tlog is an oracle for RFC 6962 trees: what it prints comes from
// golang.org/x/mod/sumdb/tlog, which knows nothing of hallpass.
//
//	tlog SIZE... < LEAVES
//
// Standard input is JSON lines, {"leaf":BASE64}, the leaf records in order (the
// bytes that the leaf hash is taken of, without the 0x00). For each SIZE, from 1
// to the number of leaves, it prints JSON lines in this order:
//
//	{"size":n,"root":HASH}                          the root of the first n leaves
//	{"size":n,"index":i,"inclusion":[HASH,...]}     ProveRecord(n, i), for all i < n
//	{"size":n,"from":m,"consistency":[HASH,...]}    ProveTree(n, m), for all 0 < m < n
//
// HASH is base64. The proofs are printed for sizes up to 130 only. Exit status: 0,
// or 1 when the input is at fault, or 2 for usage.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

const largestProved = 130

// hashes holds the stored hashes of the whole tree, at their stored indexes.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index < 0 || index >= int64(len(h)) {
			return nil, fmt.Errorf("no stored hash %d", index)
		}
		list[i] = h[index]
	}
	return list, nil
}

type rootLine struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
}

type inclusionLine struct {
	Size      int64            `json:"size"`
	Index     int64            `json:"index"`
	Inclusion tlog.RecordProof `json:"inclusion"`
}

type consistencyLine struct {
	Size        int64          `json:"size"`
	From        int64          `json:"from"`
	Consistency tlog.TreeProof `json:"consistency"`
}

func readLeaves(input io.Reader) (stored hashes, count int64, err error) {
	decoder := json.NewDecoder(bufio.NewReader(input))
	decoder.DisallowUnknownFields()
	for {
		var line struct {
			Leaf *[]byte `json:"leaf"`
		}
		if err := decoder.Decode(&line); err == io.EOF {
			return stored, count, nil
		} else if err != nil {
			return nil, 0, fmt.Errorf("leaf %d: %w", count, err)
		}
		if line.Leaf == nil {
			return nil, 0, fmt.Errorf("leaf %d: no leaf", count)
		}
		more, err := tlog.StoredHashes(count, *line.Leaf, stored)
		if err != nil {
			return nil, 0, err
		}
		stored = append(stored, more...)
		count++
	}
}

func printSize(output *json.Encoder, stored hashes, size int64) error {
	root, err := tlog.TreeHash(size, stored)
	if err != nil {
		return err
	}
	if err := output.Encode(rootLine{size, root}); err != nil || size > largestProved {
		return err
	}
	for index := int64(0); index < size; index++ {
		proof, err := tlog.ProveRecord(size, index, stored)
		if err != nil {
			return err
		}
		if proof == nil {
			proof = tlog.RecordProof{} // printed as [], not null
		}
		if err := output.Encode(inclusionLine{size, index, proof}); err != nil {
			return err
		}
	}
	for from := int64(1); from < size; from++ {
		proof, err := tlog.ProveTree(size, from, stored)
		if err != nil {
			return err
		}
		if err := output.Encode(consistencyLine{size, from, proof}); err != nil {
			return err
		}
	}
	return nil
}

func run(arguments []string) error {
	stored, count, err := readLeaves(os.Stdin)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(os.Stdout)
	output := json.NewEncoder(buffered)
	for _, argument := range arguments {
		size, err := strconv.ParseInt(argument, 10, 64)
		if err != nil || size < 1 || size > count {
			return fmt.Errorf("size %s is not from 1 to %d, the number of leaves", argument, count)
		}
		if err := printSize(output, stored, size); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: tlog SIZE... < LEAVES")
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tlog:", err)
		os.Exit(1)
	}
}
