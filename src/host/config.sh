set -eu
umask 022
PATH=$PATH:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL

etc=/etc/ssh
dropin=sshd_config.d/hallpass.conf
new=$etc/hallpass.new # what is to be put in place: each file under the name it will have
old=$etc/hallpass.old # what was in its place, until everything is well
changed=              # what was put in place so far, the last first
throwaway=            # a host key for the checks, where the machine has none yet
interrupted=          # whether a run before this one was killed: sshd may not know what it left

say() { echo "hallpass: $1" >&2; }

die() {
    say "$1"
    [ $# -lt 2 ] || echo "hint: $2" >&2
    exit 1
}

# sshd, for questions about its configuration. A machine that never booted has no host key.
ask_sshd() { "$sshd" ${throwaway:+-h "$throwaway"} "$@"; }

# Asks what sshd will do for each account from its next reload on.
look() {
    mkdir -p "$new/seen"
    accounts | while read -r account; do
        ask_sshd -T -C "user=$account,host=localhost,addr=127.0.0.1" > "$new/seen/$account" 2> "$new/why" ||
            die "sshd -T fails for $account: $(cat "$new/why")"
    done
}

# What was seen of that: `would KEYWORD ACCOUNT`.
would() { sed -n "s/^$1 //p" "$new/seen/$2"; }

# What an account has instead of ours, now or from before ours: `older KEYWORD OURS`.
older() {
    {
        accounts | while read -r account; do would "$1" "$account"; done
        [ ! -e "$etc/$dropin" ] || sed -n "s/^# before: $1 //p" "$etc/$dropin"
    } | sort -u | while read -r value; do
        case $value in none | "$2") ;; *) echo "$value" ;; esac
    done
}

# Whether sshd can read a list of revoked keys. What does not begin as a KRL it takes for a list of public
# keys; a KRL that is cut short lets nobody in.
valid_krl() {
    [ -s "$1" ] || return 1
    [ "$(head -c 6 "$1")" = SSHKRL ] || return 0
    status=0
    ssh-keygen -Q -f "$1" "$new/hallpass_user_ca.pub" > /dev/null 2>&1 || status=$?
    [ "$status" -ne 255 ]
}

# Tells the running sshd. 2: there is none that this script knows how to tell.
reload() {
    if [ -d /run/systemd/system ]; then
        for unit in ssh.service sshd.service; do
            systemctl --quiet is-active "$unit" || continue
            systemctl reload "$unit" || return 1
            say "reloaded $unit"
            return 0
        done
        # A socket of systemd's that starts an sshd for each connection needs no reload.
        ! systemctl --quiet is-active ssh.socket || return 0
    fi
    pid=$(ask_sshd -T 2> /dev/null | sed -n 's/^pidfile //p')
    pid=$(cat "$pid" 2> /dev/null) || return 2
    [ "$(cat "/proc/$pid/comm" 2> /dev/null)" = sshd ] || return 2
    kill -HUP "$pid" || return 1
    say "reloaded sshd, process $pid"
}

# Puts a staged file in place by rename, if it is another one than is there.
place() {
    chmod 644 "$new/$1"
    ! cmp -s "$new/$1" "$etc/$1" || return 0
    mkdir -p "$(dirname "$old/$1")" "$(dirname "$etc/$1")"
    [ ! -e "$etc/$1" ] || cp -p "$etc/$1" "$old/$1"
    sync "$new/$1" 2> /dev/null || sync
    changed="$1 $changed"
    mv -f "$new/$1" "$etc/$1"
    sync "$(dirname "$etc/$1")" 2> /dev/null || sync
}

# Whatever ends this script but SIGKILL: where something failed, all is put back, the drop-in first.
# After a SIGKILL every file that the drop-in names is there and valid, and running it again goes on.
finish() {
    status=$1
    trap - EXIT
    set +e
    if [ "$status" -ne 0 ] && [ -n "$changed" ]; then
        for file in $changed; do
            if [ -e "$old/$file" ]; then mv -f "$old/$file" "$etc/$file"; else rm -f "$etc/$file"; fi
        done
        rmdir "$etc/hallpass_principals" 2> /dev/null
        say "all is as it was before"
    fi
    rm -rf "$new" "$old"
    exit "$status"
}

# What must be before anything is looked at.
begin() {
    [ "$(id -u)" -eq 0 ] || die "only root can change what sshd does"
    sshd=$(command -v sshd) || die "sshd is not installed"
    exec 9< "$etc"
    ! command -v flock > /dev/null || flock -n 9 || die "another one is at work here"
    trap 'finish $?' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    [ ! -e "$new" ] || interrupted=yes
    rm -rf "$new" "$old"
    mkdir -m 700 "$new" "$old"
    mkdir "$new/sshd_config.d" "$new/hallpass_principals"
    # Debian's sshd checks nothing without this folder, which the first start makes.
    ! sshd -t 2>&1 | grep -q 'directory: /run/sshd' || mkdir -m 755 /run/sshd
    if sshd -t 2>&1 | grep -q 'no hostkeys available'; then
        ssh-keygen -q -t ed25519 -N '' -f "$new/host_key"
        throwaway=$new/host_key
    fi
    ask_sshd -t || die "sshd -t fails before anything is changed" "mend what it says first"
    look
}

# What is older than hallpass here, and whether it may stay.
look_for_older() {
    command=$(older authorizedprincipalscommand "")
    [ -z "$command" ] || die "an AuthorizedPrincipalsCommand is in effect: $command" \
        "take it out, and name the principals that it prints with --keep"
    older_ca=$(older trustedusercakeys $etc/hallpass_user_ca.pub)
    older_principals=$(older authorizedprincipalsfile $etc/hallpass_principals/%u)
    older_krl=$(older revokedkeys $etc/hallpass_revoked.krl)
    for value in "$older_ca" "$older_krl"; do
        [ "$(echo "$value" | wc -l)" -eq 1 ] || die "accounts differ in what is in effect: $value"
    done
    [ -n "$older_ca$older_principals$older_krl" ] || return 0
    for setting in "TrustedUserCAKeys $older_ca" "AuthorizedPrincipalsFile $older_principals" \
        "RevokedKeys $older_krl"; do
        [ -z "${setting#* }" ] || say "older than hallpass: $setting"
    done
    [ -n "$(keep)" ] || die "this server trusts another CA, or has its own settings for certificates" \
        "hallpass host config $(host) --keep PRINCIPAL keeps that CA's certificates working (%u: the account)"
    [ -n "$(principals)" ] || [ -z "$older_principals" ] ||
        die "a server that takes bare account names has no AuthorizedPrincipalsFile" \
            "hosts.toml: leave principals = \"login\" out for $(host)"
}

# Every file as it will be.
stage() {
    user_ca > "$new/hallpass_user_ca.pub"
    if [ -n "$older_ca" ]; then
        echo "# kept from $older_ca" >> "$new/hallpass_user_ca.pub"
        if [ -r "$older_ca" ]; then
            sed '/^#/d' "$older_ca" >> "$new/hallpass_user_ca.pub"
        else
            sed '1,/^# kept from /d' "$etc/hallpass_user_ca.pub" >> "$new/hallpass_user_ca.pub"
        fi
    fi
    ssh-keygen -l -f "$new/hallpass_user_ca.pub" > /dev/null || die "a CA key is no key"
    principals | while read -r account principal; do
        echo "$principal" >> "$new/hallpass_principals/$account"
        [ -z "$older_ca" ] || keep | sed "s/%u/$account/g" >> "$new/hallpass_principals/$account"
    done
    revoked > "$new/hallpass_revoked.krl"
    # Once there is a KRL, it is never replaced by the empty one.
    ! valid_krl "$etc/hallpass_revoked.krl" ||
        cat "$etc/hallpass_revoked.krl" > "$new/hallpass_revoked.krl"
    valid_krl "$new/hallpass_revoked.krl" || die "the empty KRL is no KRL"
    {
        echo "# Made by hallpass for $(host). hallpass host config $(host) prints the script that"
        echo "# made it; \"sh FILE undo\" takes everything back."
        [ -z "$older_ca" ] || echo "# before: trustedusercakeys $older_ca"
        [ -z "$older_principals" ] || echo "$older_principals" | sed 's/^/# before: authorizedprincipalsfile /'
        echo "TrustedUserCAKeys $etc/hallpass_user_ca.pub"
        [ -z "$(principals)" ] || echo "AuthorizedPrincipalsFile $etc/hallpass_principals/%u"
        # sshd before 10.3 reads one KRL: the older one stays in effect.
        [ -n "$older_krl" ] || echo "RevokedKeys $etc/hallpass_revoked.krl"
        [ -z "$only" ] || echo "AuthorizedKeysFile none"
        [ -z "$only" ] || echo "AuthorizedKeysCommand none"
    } > "$new/$dropin"
    { cat "$new/$dropin" && echo "Include $etc/sshd_config"; } > "$new/check.conf"
    ask_sshd -t -f "$new/check.conf" || die "sshd does not take the drop-in"
}

# Whether the drop-in decides, for each account.
check_in_effect() {
    ask_sshd -t || die "sshd -t fails with the drop-in"
    look
    accounts | while read -r account; do
        grep -v '^#' "$new/placed" | while read -r keyword value; do
            keyword=$(echo "$keyword" | tr '[:upper:]' '[:lower:]')
            now=$(would "$keyword" "$account")
            [ "$now" != "$value" ] || continue
            say "the drop-in is not in effect: for $account sshd has $keyword $now, not $value"
            grep -qi '^[[:space:]]*Include.*sshd_config\.d' "$etc/sshd_config" ||
                die "$etc/sshd_config does not include $etc/sshd_config.d" \
                    "put this line first into it: Include $etc/sshd_config.d/*.conf"
            die "something that sshd reads before the drop-in says otherwise" \
                "look for $keyword in $etc/sshd_config and $etc/sshd_config.d"
        done
    done
}

put() {
    look_for_older
    stage
    cp "$new/$dropin" "$new/placed"
    # The drop-in is last: it never names what is not there.
    for file in "$new"/hallpass_principals/*; do
        [ ! -e "$file" ] || place "hallpass_principals/${file##*/}"
    done
    place hallpass_revoked.krl
    place hallpass_user_ca.pub
    place $dropin
    check_in_effect
    # What no account has any more.
    for file in "$etc"/hallpass_principals/*; do
        account=${file##*/}
        principals | grep -q "^$account " || [ ! -e "$file" ] || {
            mkdir -p "$old/hallpass_principals"
            changed="hallpass_principals/$account $changed"
            mv "$file" "$old/hallpass_principals/$account"
        }
    done
    accounts | while read -r account; do
        id -u "$account" > /dev/null 2>&1 || say "there is no account $account on this machine yet"
    done
    if [ -z "$changed$interrupted" ]; then
        say "nothing has changed"
        return
    fi
    told=0
    reload || told=$?
    [ "$told" -ne 1 ] || die "sshd could not be reloaded"
    changed=
    say "$(host) is under the CA: $(accounts | tr '\n' ' ')"
    [ -z "$older_ca" ] || say "the older CA's certificates open: $(accounts | tr '\n' ' '), no other account"
    [ -z "$older_krl" ] || say "what hallpass revokes does not count here: $older_krl stays the one KRL"
    [ "$told" -ne 2 ] || echo "hint: it counts when sshd is reloaded: kill -HUP its first process, or start it" >&2
    if [ -n "$only" ]; then
        echo "hint: keys in authorized_keys open nothing from now on; sh $me not-only lets them in again" >&2
    else
        echo "hint: leave this session open and log in by certificate from another; sh $me undo takes all back" >&2
        echo "hint: when that works, sh $me only ends the keys in authorized_keys" >&2
    fi
}

undo() {
    if [ -e "$etc/$dropin" ]; then
        mkdir -p "$old/sshd_config.d"
        changed=$dropin
        cp -p "$etc/$dropin" "$old/$dropin"
        rm "$etc/$dropin"
        sync "$etc/sshd_config.d" 2> /dev/null || sync
        ask_sshd -t || die "sshd -t fails without the drop-in"
    fi
    files=
    for file in hallpass_user_ca.pub hallpass_revoked.krl hallpass_principals; do
        [ ! -e "$etc/$file" ] || files="$files $etc/$file"
    done
    if [ -z "$changed$files" ]; then
        say "nothing of hallpass is here"
        return
    fi
    # While an sshd still names them, the files stay: without its KRL it would let nobody in.
    told=0
    reload || told=$?
    [ "$told" -ne 1 ] || die "sshd could not be reloaded"
    changed=
    if [ "$told" -eq 2 ]; then
        say "the drop-in is gone; it counts when sshd is reloaded"
        echo "hint: then, and not before: rm -r$files" >&2
        return
    fi
    # Who was logging in at that moment still reads them.
    sleep 2
    for file in $files; do rm -r "$file"; done
    say "$(host) is as it was before hallpass"
}

me=FILE
[ ! -f "$0" ] || me=$0
case "$#:${1-}" in
0: | 1:only | 1:not-only | 1:undo) ;;
*) die "usage: sh $me, or with one of: only, not-only, undo" ;;
esac
begin
only=
! grep -qs '^AuthorizedKeysFile none' "$etc/$dropin" || only=yes
case ${1-} in
only | not-only)
    [ -e "$etc/$dropin" ] || die "this server is not under the CA yet" "sh $me, then a login by certificate, then this"
    only=
    [ "$1" = not-only ] || only=yes
    put
    ;;
undo) undo ;;
*) put ;;
esac

# By hand, undo is these lines, in this order:
#
#   rm /etc/ssh/sshd_config.d/hallpass.conf
#   sshd -t && systemctl reload ssh
#   rm -r /etc/ssh/hallpass_user_ca.pub /etc/ssh/hallpass_revoked.krl /etc/ssh/hallpass_principals
#
# The second is for a machine with systemd; elsewhere it is kill -HUP of sshd's first process. Never
# the third before the second: an sshd whose RevokedKeys file is missing lets nobody in.
