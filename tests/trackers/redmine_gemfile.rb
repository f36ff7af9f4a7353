# The package's own list names no database: it looks into the package's configuration, which is not ours.
eval_gemfile "/usr/share/redmine/Gemfile"
gem "sqlite3", "~> 1.4.0", :platforms => [:mri, :mingw, :x64_mingw]
gem "puma"
