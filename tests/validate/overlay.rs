//! `validate --overlay`: what a template task is about to write, checked before it is there.

use super::*;

/// A good inventory with the port in `vars.yml`.
fn bench() -> Bench {
    inventory(&[("vars.yml", &with("registry_mirror_listen_port: 5001"))])
}

fn validate(bench: &Bench, overlay: &str) -> Ran {
    bench.run(VALIDATE.into_iter().chain(["--overlay", overlay]))
}

#[test]
fn messages_name_the_file_that_would_be_there() {
    let bench = bench();
    // What Ansible's template module calls its temporary file.
    bench.write("tmp/.source.yml", with("registry_mirror_listen_port: nope"));
    bench.write("tmp/source", with("registry_mirror_listen_port: 5003"));
    for destination in ["inventory/vars.yml", "./inventory/../inventory/vars.yml"] {
        let ran = validate(&bench, &format!("{destination}=tmp/.source.yml")).ended(1);
        ran.says(&["inventory/vars.yml:5:34", "registry_mirror_listen_port"]).hides(&[".source"]);
    }
    validate(&bench, "inventory/vars.yml=tmp/source").ended(0);
    bench.run(VALIDATE).ended(0);
}

#[test]
fn neither_the_file_nor_its_directory_needs_to_be_there() {
    let bench = Bench::new();
    bench.write("tmp/source", with("registry_mirror_listen_port: nope"));
    bench.write("tmp/vars", "registry_mirror_listen_port: nope\n");
    let root = bench.path().join("inventory/vars.yml");
    validate(&bench, "inventory/vars.yml=tmp/source").ended(1).says(&["inventory/vars.yml:5:"]);
    validate(&bench, &format!("{}=tmp/source", root.display())).ended(1).says(&["vars.yml:5:"]);
    let both = ["--overlay", "inventory/vars.yml=tmp/good", "--overlay"];
    bench.write("tmp/good", VARS);
    for destination in
        ["inventory/group_vars/all.yml", "inventory/group_vars/registry_mirror/a.yml"]
    {
        let last = format!("{destination}=tmp/vars");
        let ran = bench.run(VALIDATE.into_iter().chain(both).chain([last.as_str()])).ended(1);
        ran.says(&[&format!("{destination}:1:30")]);
    }
}

#[test]
fn what_would_never_be_read_is_refused() {
    let bench = bench();
    bench.write("tmp/source", VARS);
    for (destination, says) in [
        ("elsewhere/vars.yml", "it lies in no inventory that `-i` names"),
        ("inventory/vars.yml.bak", "a name like this is passed over"),
        ("inventory/.vars.yml", "a name like this is passed over"),
        ("inventory/README.md", "a name like this is passed over"),
        ("inventory/group_vars/all.txt", "no file of variables is called so in `group_vars`"),
        ("inventory/host_vars/a.d/vars.yml", "it is below a directory that is passed over"),
    ] {
        let ran = validate(&bench, &format!("{destination}=tmp/source")).ended(1);
        ran.says(&[destination, says, "hint: "]);
    }
    for wrong in ["inventory/vars.yml", "=tmp/source", "inventory/vars.yml="] {
        validate(&bench, wrong).ended(2).says(&["an overlay is written `DEST=FILE`"]);
    }
    validate(&bench, "inventory/vars.yml=tmp/nowhere")
        .ended(2)
        .says(&["tmp/nowhere", "there is no such file"]);
}
#[test]
fn the_kind_of_the_file_follows_its_destination() {
    let bench = bench();
    bench.write(
        "tmp/.source.yml",
        "[registry_mirror:vars]\nregistry_mirror_listen_port=nope\n[registry_mirror]\n",
    );
    validate(&bench, "inventory/hosts.ini=tmp/.source.yml")
        .ended(1)
        .says(&["inventory/hosts.ini:2:"]);
}
