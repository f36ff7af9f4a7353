//! What a hostile front does to whole batches: heads, replays, frames, rates, order, connections.

use std::io::Write as _;

use hallpass::ledger::checkpoint::Checkpoint;
use hallpass::ledger::leaf::Leaf;
use hallpass::ledger::note::{NoteKey, SignatureType};
use hallpass::ledger::tree::Hash;
use hallpass::signer::protocol::{Answer, Batch, Entry, MAX_BATCH, MAX_FRAME, Question, Refusal};

use super::Siege;
use super::bend::{CLASSES, Must, flip};
use super::forge::{Keys, Order};
use super::front::{exchange, question};

impl Siege {
    /// A batch that must be refused as a whole. Afterwards the signer is where it was.
    pub fn refused(&mut self, batch: &Batch, name: &'static str, fits: fn(&Refusal) -> bool) {
        match self.front.say(&question(batch)) {
            Some(Answer::Refused(why)) if fits(&why) => {
                self.counts.count(name, Must::Refuse, false)
            }
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Heads that do not continue the last one, or are not the ledger's, each with an entry that would
    /// be signed under a good one. That one is asked for last.
    pub fn heads(&mut self) {
        let (behind, forked) =
            (|w: &Refusal| *w == Refusal::Behind, |w: &Refusal| *w == Refusal::Forked);
        let invalid = |w: &Refusal| matches!(w, Refusal::Invalid(_));
        let entry = self.good();
        let (seen, size) = (self.front.seen, self.front.size());
        let root = self.front.root(size);
        let good = Batch { entries: vec![entry], ..self.front.batch() };
        let with =
            |head: Checkpoint| Batch { checkpoint: head.as_str().to_owned(), ..good.clone() };

        let less = self.dice.roll(seen);
        self.refused(&with(self.front.head(less)), "a head before the last", behind);
        let fork = Hash::of(&self.dice.roll(1 << 40).to_be_bytes());
        self.refused(&with(self.front.sign(seen, fork)), "another root of the same size", forked);
        self.refused(&with(self.front.sign(size, fork)), "another root of the next size", forked);
        let far = size + 1 + self.dice.roll(1 << 40);
        self.refused(&with(self.front.sign(far, root)), "a larger size of the same root", forked);
        self.refused(&with(self.front.sign(u64::MAX, fork)), "the largest size there is", forked);

        let mut proof = good.consistency.clone();
        match self.dice.roll(3) {
            0 if !proof.is_empty() => drop(proof.pop()),
            1 if !proof.is_empty() => flip(&mut proof[0].0, &mut self.dice),
            _ => proof.push(fork),
        }
        let bad = Batch { consistency: proof, ..good.clone() };
        self.refused(&bad, "a bad proof of growth", forked);

        // The tree that another front would have: the last leaf that the signer saw is another one.
        let mut other = hallpass::ledger::edge::Edge::default();
        (0..9).for_each(|n: u64| other.append(Hash::of(&n.to_be_bytes())));
        let hashes = |path: Vec<_>| -> Vec<Hash> {
            path.into_iter().map(|l| hallpass::ledger::tree::hash_of(&other, l).unwrap()).collect()
        };
        let consistency = hashes(hallpass::ledger::tree::consistency(seen.min(8), 9));
        let head = hallpass::ledger::tree::root(&other, 9).unwrap();
        let other = Batch { consistency, ..with(self.front.sign(size.max(9), head)) };
        self.refused(&other, "a fork with a proof of its own", forked);

        let name = self.front.key.public().name().to_owned();
        let another = self.front.key_named("ca.example/9");
        let origin = Checkpoint::sign(
            &hallpass::ledger::checkpoint::TreeHead { origin: "ca.example/9".into(), size, root },
            &another,
            self.front.now,
        );
        self.refused(&with(origin.unwrap()), "a head of another origin", invalid);
        let stranger = ed25519_dalek::SigningKey::from_bytes(&[77; 32]);
        let stranger = NoteKey::new(&name, SignatureType::Ed25519, stranger).unwrap();
        let head = self.front.head(size).head;
        let theirs = Checkpoint::sign(&head, &stranger, self.front.now).unwrap();
        self.refused(&with(theirs), "a head by another key", invalid);
        let two = stranger.sign(&head.to_string(), self.front.now);
        let two = self.front.head(size).with(&two).unwrap();
        self.refused(&with(two), "a head with another signature too", invalid);
        let mut text = good.checkpoint.clone().into_bytes();
        flip(&mut text, &mut self.dice);
        let text = Batch { checkpoint: String::from_utf8_lossy(&text).into(), ..good.clone() };
        self.refused(&text, "a head with a bit that flipped", |w| !matches!(w, Refusal::Disk(_)));

        self.expect(&good, &[("after hostile heads", Must::Sign)]);
    }

    /// Records a good order; the entry with its proof.
    fn good(&mut self) -> Entry {
        let entry = self.record(&CLASSES[0]);
        let inclusion = self.front.inclusion(entry.index, self.front.size());
        Entry { inclusion, ..entry }
    }

    /// An old question, word for word; and old entries under the newest head, with good proofs.
    pub fn replay(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let at = self.dice.roll(self.asked.len() as u64) as usize;
        let old = self.asked[at].clone();
        let Ok(Question::Batch(batch)) = Question::decode(&old) else { panic!("not a batch") };
        let answer = self.front.say(&old);
        let signed = match &answer {
            Some(Answer::Refused(_)) => 0,
            Some(Answer::Signed { results, .. }) => results.iter().filter(|r| r.is_ok()).count(),
            other => panic!("{other:?}"),
        };
        assert_eq!(signed, 0, "a replay was signed");
        self.counts.count("a question once more", Must::Refuse, false);

        let size = self.front.size();
        let below = |entry: &&Entry| entry.index < size;
        let mut entries: Vec<Entry> =
            batch.entries.iter().filter(below).take(10).cloned().collect();
        for entry in &mut entries {
            entry.inclusion = self.front.inclusion(entry.index, size);
        }
        let names =
            vec![("an entry once more, under the newest head", Must::Refuse); entries.len()];
        let batch = Batch { entries, ..self.front.batch() };
        self.expect(&batch, &names);
    }

    /// The same entry twice in a batch, entries by falling index, and one that was passed over.
    pub fn order_of_indexes(&mut self) {
        self.front.wait(61);
        let entries: Vec<Entry> = (0..4).map(|_| self.record(&CLASSES[0])).collect();
        let proved = |entry: &Entry| Entry {
            inclusion: self.front.inclusion(entry.index, self.front.size()),
            ..entry.clone()
        };
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| proved(&entries[at]));
        let all = vec![b.clone(), b, a.clone(), c.clone(), c];
        let (yes, no) = (("first of its index", Must::Sign), ("second of its index", Must::Refuse));
        let fell = ("an index that was passed over", Must::Refuse);
        let batch = Batch { entries: all, ..self.front.batch() };
        self.expect(&batch, &[yes, no, fell, yes, no]);
        // The last one was under a head that was cosigned, and was not asked for then.
        let late = Batch { entries: vec![a, d], ..self.front.batch() };
        self.expect(&late, &[fell, fell]);
    }

    /// A batch in two connections at a time: the signer serves one after the other, and signs once.
    pub fn two_connections(&mut self) {
        self.front.wait(61);
        self.front.hang_up();
        let entries: Vec<Entry> = (0..5).map(|_| self.record(&CLASSES[0])).collect();
        let size = self.front.size();
        let proved =
            |e: &Entry| Entry { inclusion: self.front.inclusion(e.index, size), ..e.clone() };
        let entries: Vec<Entry> = entries.iter().map(proved).collect();
        let batch = Batch { entries, ..self.front.batch() };
        let payload = question(&batch);
        let streams = [self.front.connect(), self.front.connect(), self.front.connect()];
        let answers = std::thread::scope(|scope| {
            let ask = |stream| scope.spawn(|| exchange(&{ stream }, &payload));
            let asking: Vec<_> = streams.into_iter().map(ask).collect();
            asking.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        self.front.saw();
        let mut signed = vec![0; batch.entries.len()];
        for answer in answers {
            let none = || vec![Err(String::new()); batch.entries.len()];
            let results = match answer {
                Some(Answer::Signed { results, .. }) => results,
                // Its proof of growth is of a mark that the batch before it has moved.
                Some(Answer::Refused(Refusal::Forked)) => none(),
                other => panic!("{other:?}"),
            };
            for ((at, entry), result) in batch.entries.iter().enumerate().zip(results) {
                let good = result.is_ok();
                self.counts.count("in three connections", Must::Either, good);
                if let Ok(blob) = result {
                    signed[at] += 1;
                    self.take(&blob, entry);
                }
            }
        }
        assert_eq!(signed, vec![1; batch.entries.len()], "each is signed once");
    }

    /// Frames that are none, or hold something else. The signer answers or hangs up, and serves on.
    pub fn frames(&mut self) {
        self.front.wait(61);
        let batch = Batch { entries: vec![self.good()], ..self.front.batch() };
        let whole = question(&batch);
        let entry = batch.entries[0].clone();
        let mut many = Batch { entries: vec![entry; MAX_BATCH], ..batch.clone() };
        let most = question(&many);
        many.entries.push(many.entries[0].clone());
        let count_at = 1 + 4 + batch.checkpoint.len() + 4 + 32 * batch.consistency.len();
        let mut huge = whole.clone();
        huge[count_at..count_at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        let answer = Answer::Signed { cosignature: "x".into(), results: vec![Ok(whole.clone())] };
        let mut bad = vec![
            Vec::new(),
            vec![0],
            vec![1, 0],
            vec![2],
            vec![255; 1000],
            question(&many),
            huge,
            answer.encode(),
            [&whole[..], b"\0"].concat(),
        ];
        for _ in 0..20 {
            bad.push(whole[..self.dice.roll(whole.len() as u64) as usize].to_vec());
        }
        for payload in bad {
            let said = self.front.say(&payload);
            assert!(matches!(said, Some(Answer::Refused(Refusal::Invalid(_)))), "{said:?}");
            self.counts.count("a frame that is no question", Must::Refuse, false);
        }
        // A length without its bytes, or more than the signer takes: hung up on.
        for length in [whole.len() as u32, MAX_FRAME as u32 + 1, u32::MAX] {
            let mut stream = self.front.hang_up().unwrap_or_else(|| self.front.connect());
            stream.write_all(&length.to_be_bytes()).unwrap();
            // By then it may have hung up.
            drop(stream.write_all(&whole[..whole.len() / 2]));
            drop(stream.shutdown(std::net::Shutdown::Write));
            let mut rest = Vec::new();
            let read = std::io::Read::read_to_end(&mut stream, &mut rest);
            assert!(read.is_err() || rest.is_empty(), "half a question was answered");
            self.counts.count("a frame cut short, or too long", Must::Refuse, false);
        }
        assert!(matches!(self.front.say(&Question::Hello.encode()), Some(Answer::Mark(_))));
        // The most entries that a batch may have, all of them the same one.
        let Some(Answer::Signed { results, .. }) = self.front.say(&most) else { panic!("refused") };
        self.front.saw();
        let (first, again) = results.split_first().expect("as many results as entries");
        assert!(again.len() + 1 == MAX_BATCH && again.iter().all(Result::is_err), "signed again");
        self.counts.count("the first of a full batch of one", Must::Sign, first.is_ok());
        self.take(first.as_ref().unwrap(), &batch.entries[0]);
    }

    /// The rates of `signer.toml`, to the last certificate and to the second, over a restart and over
    /// a clock that is set.
    pub fn rates(&mut self) {
        let person = |o: &mut Order, n: u64| {
            o.facts.granted.person = format!("p{n}").parse().unwrap();
        };
        let accounts = |o: &mut Order, n: u64| {
            o.facts.granted.accounts = vec![format!("a{n}@web01").parse().unwrap()];
        };
        let (yes, no) = (Must::Sign, Must::Refuse);
        // One person, many accounts; one account, many names; many of both.
        self.front.wait(61);
        self.flood(65, "rate: person", |at| if at < 60 { yes } else { no }, |o, n| accounts(o, n));
        self.front.wait(61);
        self.flood(75, "rate: account", |at| if at < 70 { yes } else { no }, |o, n| person(o, n));
        self.front.wait(61);
        let both = |o: &mut Order, n: u64| {
            person(o, n);
            accounts(o, n);
        };
        self.flood(205, "rate: total", |at| if at < 200 { yes } else { no }, both);
        // A restart forgets nothing; a clock that goes back makes no room; nor does the 59th second.
        self.front.kill();
        self.front.start();
        self.flood(5, "rate: after a restart", |_| no, both);
        let full = self.front.now;
        for (secs, back) in [(1, true), (59, true), (1, false), (59, false)] {
            let span = hallpass::certificate::time::Span::secs(secs);
            self.front.set_clock(if back { full.minus(span) } else { full.plus(span) });
            self.flood(3, "rate: within the minute", |_| no, both);
        }
        self.front.set_clock(full.plus(hallpass::certificate::time::Span::secs(60)));
        self.flood(3, "rate: the next minute", |_| yes, both);
    }

    fn flood(
        &mut self,
        many: u64,
        name: &'static str,
        must: impl Fn(u64) -> Must,
        bend: impl Fn(&mut Order, u64),
    ) {
        let mut entries = Vec::new();
        for number in 0..many {
            let keys: &Keys = &self.keys;
            let mut order = Order::good(self.front.now, keys);
            bend(&mut order, number);
            order.agree();
            let index = self.front.size();
            let (tbs, facts) = (order.says.encode(index), order.facts());
            self.front.append(&Leaf::certificate(&tbs, &facts));
            entries.push(Entry { index, inclusion: Vec::new(), tbs, facts });
        }
        for entry in &mut entries {
            entry.inclusion = self.front.inclusion(entry.index, self.front.size());
        }
        let batch = Batch { entries, ..self.front.batch() };
        let names: Vec<_> = (0..many).map(|at| (name, must(at))).collect();
        self.expect(&batch, &names);
    }
}
